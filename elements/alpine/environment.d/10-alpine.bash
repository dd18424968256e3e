export DISTRO_NAME=alpine
export DIB_RELEASE=${DIB_RELEASE:-3.24}
export DIB_INIT_SYSTEM=openrc
export EFI_BOOT_DIR=EFI/alpine
export DIB_ALPINE_DEFAULT_MIRROR=https://dl-cdn.alpinelinux.org/alpine
export DIB_DISTRIBUTION_MIRROR=${DIB_DISTRIBUTION_MIRROR:-$DIB_ALPINE_DEFAULT_MIRROR}

# images have the whole version in their names, and there is none that is always the newest
if [ -z "${DIB_ALPINE_VERSION:-}" ]; then
    case "$DIB_RELEASE" in
        3.21) DIB_ALPINE_VERSION=3.21.7 ;;
        3.22) DIB_ALPINE_VERSION=3.22.5 ;;
        3.23) DIB_ALPINE_VERSION=3.23.5 ;;
        3.24) DIB_ALPINE_VERSION=3.24.1 ;;
        *) DIB_ALPINE_VERSION=$DIB_RELEASE.0 ;;
    esac
fi
export DIB_ALPINE_VERSION
case "$ARCH" in
    amd64 | x86_64) _alpine_image=x86_64-bios ;;
    arm64 | aarch64) _alpine_image=aarch64-uefi ;;
    *) _alpine_image=$ARCH-uefi ;;
esac
export DIB_CLOUD_IMAGES=${DIB_CLOUD_IMAGES:-$DIB_DISTRIBUTION_MIRROR/v$DIB_RELEASE/releases/cloud}
export BASE_IMAGE_FILE=${BASE_IMAGE_FILE:-generic_alpine-$DIB_ALPINE_VERSION-$_alpine_image-cloudinit-r0.qcow2}
unset _alpine_image
