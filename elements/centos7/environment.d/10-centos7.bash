# the name that elements know CentOS by, whatever the release
export DISTRO_NAME=centos
export DIB_RELEASE=7
export EFI_BOOT_DIR=EFI/centos
export YUM=yum

# x86_64 has a place of its own
_altarch=altarch
[ "$DIB_RPM_ARCH" != x86_64 ] || _altarch=centos
# the publisher's list of x86_64 images is a signed message; on a server of one's own are images of one's own
_checksums=sha256sum.txt
if [ -z "${DIB_CLOUD_IMAGES:-}" ] && [ "$DIB_RPM_ARCH" = x86_64 ]; then
    _checksums=sha256sum.txt.asc
    export DIB_BASE_KEYRING=${DIB_BASE_KEYRING:-RPM-GPG-KEY-CentOS-7}
fi
export DIB_BASE_CHECKSUMS=${DIB_BASE_CHECKSUMS:-$_checksums}
export DIB_CLOUD_IMAGES=${DIB_CLOUD_IMAGES:-https://cloud.centos.org/$_altarch/7/images}
export BASE_IMAGE_FILE=${BASE_IMAGE_FILE:-CentOS-7-$DIB_RPM_ARCH-GenericCloud.qcow2}
export DIB_DISTRIBUTION_MIRROR=${DIB_DISTRIBUTION_MIRROR:-https://vault.centos.org/$_altarch}
unset _altarch _checksums
