export DISTRO_NAME=almalinux
export DIB_RELEASE=${DIB_RELEASE:-10}
export EFI_BOOT_DIR=EFI/almalinux
export YUM=dnf

export DIB_FLAVOR=${DIB_FLAVOR:-GenericCloud}
# on a server of one's own are images of one's own
if [ -z "${DIB_CLOUD_IMAGES:-}" ]; then
    case "${DIB_RELEASE%%.*}" in
        8 | 9 | 10) export DIB_BASE_KEYRING=${DIB_BASE_KEYRING:-RPM-GPG-KEY-AlmaLinux-${DIB_RELEASE%%.*}} ;;
    esac
fi
export DIB_CLOUD_IMAGES=${DIB_CLOUD_IMAGES:-https://repo.almalinux.org/almalinux/$DIB_RELEASE/cloud/$DIB_RPM_ARCH/images}
export BASE_IMAGE_FILE=${BASE_IMAGE_FILE:-AlmaLinux-${DIB_RELEASE%%.*}-$DIB_FLAVOR-latest.$DIB_RPM_ARCH.qcow2}
