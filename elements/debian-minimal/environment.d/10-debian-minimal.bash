export DISTRO_NAME=debian
export DIB_RELEASE=${DIB_RELEASE:-trixie}
export DIB_INIT_SYSTEM=systemd
export EFI_BOOT_DIR=EFI/debian

if [ -n "${DIB_DEBIAN_DISTRIBUTION_MIRROR:-}" ]; then
    export DIB_DISTRIBUTION_MIRROR=$DIB_DEBIAN_DISTRIBUTION_MIRROR
fi

# a base image has its kernel
if [ -n "${DIB_BASE_IMAGE:-}" ]; then
    export DIB_DEBIAN_KERNEL=${DIB_DEBIAN_KERNEL:-none}
fi
case "${DIB_DEBIAN_KERNEL:-}" in
    '' | generic | cloud | none) ;;
    *)
        echo "DIB_DEBIAN_KERNEL is '$DIB_DEBIAN_KERNEL'; it may be generic, cloud or none" >&2
        exit 1
        ;;
esac
case "$ARCH:${DIB_DEBIAN_KERNEL:-}" in
    amd64:* | arm64:* | aarch64:*) export DIB_DEBIAN_KERNEL=${DIB_DEBIAN_KERNEL:-generic} ;;
    *:generic | *:cloud)
        echo "DIB_DEBIAN_KERNEL is '$DIB_DEBIAN_KERNEL', and no kernel for $ARCH is known here; it may be none" >&2
        exit 1
        ;;
    *) ;; # without a value package-installs.yaml ends the plan
esac
