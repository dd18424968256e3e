export DISTRO_NAME=centos
export DIB_RELEASE=${DIB_RELEASE:-10-stream}
export EFI_BOOT_DIR=EFI/centos
export YUM=dnf

if [ "$DIB_RELEASE" = 7 ]; then
    echo "centos is CentOS Stream; the element for CentOS 7 is centos7" >&2
    exit 1
fi
_major=${DIB_RELEASE%%-*}
export DIB_FLAVOR=${DIB_FLAVOR:-GenericCloud}
export DIB_CLOUD_IMAGES=${DIB_CLOUD_IMAGES:-https://cloud.centos.org/centos/$_major-stream/$DIB_RPM_ARCH/images}
export BASE_IMAGE_FILE=${BASE_IMAGE_FILE:-CentOS-Stream-$DIB_FLAVOR-$_major-latest.$DIB_RPM_ARCH.qcow2}
unset _major
