export DISTRO_NAME=rhel
export DIB_RELEASE=${DIB_RELEASE:-10}
case "${DIB_RELEASE%%.*}" in
    [1-7])
        echo "rhel has releases 8 and later, and DIB_RELEASE is '$DIB_RELEASE'" >&2
        exit 1
        ;;
esac
export EFI_BOOT_DIR=EFI/redhat
export YUM=dnf
