export DISTRO_NAME=arch
export DIB_RELEASE=${DIB_RELEASE:-latest}
export DIB_INIT_SYSTEM=systemd
export EFI_BOOT_DIR=EFI/arch
export DIB_ARCH_DEFAULT_MIRROR=https://geo.mirror.pkgbuild.com
export DIB_DISTRIBUTION_MIRROR=${DIB_DISTRIBUTION_MIRROR:-$DIB_ARCH_DEFAULT_MIRROR}
export DIB_CLOUD_IMAGES=${DIB_CLOUD_IMAGES:-$DIB_DISTRIBUTION_MIRROR/images/$DIB_RELEASE}
case "$ARCH" in
    amd64) _arch_machine=x86_64 ;;
    arm64) _arch_machine=aarch64 ;;
    *) _arch_machine=$ARCH ;;
esac
export BASE_IMAGE_FILE=${BASE_IMAGE_FILE:-Arch-Linux-$_arch_machine-cloudimg.qcow2}
unset _arch_machine
export DIB_ARCH_KEYRING=${DIB_ARCH_KEYRING:-keys/arch-boxes.asc}
