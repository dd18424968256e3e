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
else
    export DIB_DEBIAN_KERNEL=${DIB_DEBIAN_KERNEL:-generic}
fi
