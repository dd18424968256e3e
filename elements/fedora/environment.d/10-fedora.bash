export DISTRO_NAME=fedora
export DIB_RELEASE=${DIB_RELEASE:-44}
export EFI_BOOT_DIR=EFI/fedora
export YUM=dnf

# Fedora has no name for the latest image of a release: the number of its compose is in all of them
case "$DIB_RELEASE" in
    43) _compose=1.6 ;;
    44) _compose=1.7 ;;
    *) _compose= ;;
esac
export DIB_FEDORA_COMPOSE=${DIB_FEDORA_COMPOSE:-$_compose}
unset _compose
export DIB_FLAVOR=${DIB_FLAVOR:-Generic}
# the checksum file is a signed message; on a server of one's own are images of one's own
if [ -z "${DIB_CLOUD_IMAGES:-}" ]; then
    case "$DIB_RELEASE" in
        43 | 44) export DIB_BASE_KEYRING=${DIB_BASE_KEYRING:-RPM-GPG-KEY-fedora-$DIB_RELEASE} ;;
    esac
fi
export DIB_CLOUD_IMAGES=${DIB_CLOUD_IMAGES:-https://download.fedoraproject.org/pub/fedora/linux/releases/$DIB_RELEASE/Cloud/$DIB_RPM_ARCH/images}
if [ -n "$DIB_FEDORA_COMPOSE" ]; then
    export BASE_IMAGE_FILE=${BASE_IMAGE_FILE:-Fedora-Cloud-Base-$DIB_FLAVOR-$DIB_RELEASE-$DIB_FEDORA_COMPOSE.$DIB_RPM_ARCH.qcow2}
fi
