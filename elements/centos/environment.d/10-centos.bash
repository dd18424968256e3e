export DISTRO_NAME=centos
export EFI_BOOT_DIR=EFI/centos
export YUM=dnf

_major=${DIB_RELEASE:-10-stream}
_major=${_major%-stream}
case "$_major" in
    7)
        echo "centos is CentOS Stream; the element for CentOS 7 is centos7" >&2
        exit 1
        ;;
    [1-8])
        echo "CentOS $DIB_RELEASE is past its end of life: centos has 9-stream and later, rocky and almalinux have 8" >&2
        exit 1
        ;;
    '' | *[!0-9]*)
        echo "DIB_RELEASE is '$DIB_RELEASE'; it has to be 9-stream or later" >&2
        exit 1
        ;;
esac
export DIB_RELEASE=$_major-stream
export DIB_FLAVOR=${DIB_FLAVOR:-GenericCloud}
export DIB_CLOUD_IMAGES=${DIB_CLOUD_IMAGES:-https://cloud.centos.org/centos/$DIB_RELEASE/$DIB_RPM_ARCH/images}
export BASE_IMAGE_FILE=${BASE_IMAGE_FILE:-CentOS-Stream-$DIB_FLAVOR-$_major-latest.$DIB_RPM_ARCH.qcow2}
unset _major
