# the name that elements know CentOS by, whatever the release
export DISTRO_NAME=centos
export DIB_RELEASE=7
export EFI_BOOT_DIR=EFI/centos
export YUM=yum

# x86_64 has a place of its own
_altarch=altarch
[ "$DIB_RPM_ARCH" != x86_64 ] || _altarch=centos
export DIB_CLOUD_IMAGES=${DIB_CLOUD_IMAGES:-https://cloud.centos.org/$_altarch/7/images}
export BASE_IMAGE_FILE=${BASE_IMAGE_FILE:-CentOS-7-$DIB_RPM_ARCH-GenericCloud.qcow2}
export DIB_DISTRIBUTION_MIRROR=${DIB_DISTRIBUTION_MIRROR:-https://vault.centos.org/$_altarch}
unset _altarch
