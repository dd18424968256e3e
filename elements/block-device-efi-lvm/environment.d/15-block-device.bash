case "$ARCH" in
    ppc64 | ppc64el | ppc64le)
        echo "block-device-efi-lvm cannot boot $ARCH: use block-device-gpt or block-device-mbr" >&2
        exit 1
        ;;
esac
export DIB_BLOCK_DEVICE=efi
