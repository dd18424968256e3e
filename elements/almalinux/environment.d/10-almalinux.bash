export DISTRO_NAME=almalinux
export DIB_RELEASE=${DIB_RELEASE:-10}
export EFI_BOOT_DIR=EFI/almalinux
export YUM=dnf

export DIB_FLAVOR=${DIB_FLAVOR:-GenericCloud}
export DIB_CLOUD_IMAGES=${DIB_CLOUD_IMAGES:-https://repo.almalinux.org/almalinux/$DIB_RELEASE/cloud/$DIB_RPM_ARCH/images}
export BASE_IMAGE_FILE=${BASE_IMAGE_FILE:-AlmaLinux-${DIB_RELEASE%%.*}-$DIB_FLAVOR-latest.$DIB_RPM_ARCH.qcow2}
