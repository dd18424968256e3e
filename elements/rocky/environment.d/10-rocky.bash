export DISTRO_NAME=rocky
export DIB_RELEASE=${DIB_RELEASE:-10}
export EFI_BOOT_DIR=EFI/rocky
export YUM=dnf

export DIB_FLAVOR=${DIB_FLAVOR:-GenericCloud-Base}
export DIB_CLOUD_IMAGES=${DIB_CLOUD_IMAGES:-https://dl.rockylinux.org/pub/rocky/$DIB_RELEASE/images/$DIB_RPM_ARCH}
export BASE_IMAGE_FILE=${BASE_IMAGE_FILE:-Rocky-${DIB_RELEASE%%.*}-$DIB_FLAVOR.latest.$DIB_RPM_ARCH.qcow2}
