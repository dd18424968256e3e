export DISTRO_NAME=opensuse
export DIB_RELEASE=${DIB_RELEASE:-16.0}
export DIB_INIT_SYSTEM=systemd
export EFI_BOOT_DIR=EFI/opensuse

case "$DIB_RELEASE" in
    tumbleweed) _place=tumbleweed _name=openSUSE-Tumbleweed ;;
    15.*) _place=distribution/leap/$DIB_RELEASE _name=openSUSE-Leap-$DIB_RELEASE ;;
    *) _place=distribution/leap/$DIB_RELEASE _name=Leap-$DIB_RELEASE ;;
esac
export DIB_FLAVOR=${DIB_FLAVOR:-Minimal-VM}
# on a server of one's own are images of one's own
if [ -z "${DIB_CLOUD_IMAGES:-}" ]; then
    export DIB_BASE_KEYRING=${DIB_BASE_KEYRING:-RPM-GPG-KEY-openSUSE}
fi
export DIB_CLOUD_IMAGES=${DIB_CLOUD_IMAGES:-https://download.opensuse.org/$_place/appliances}
export BASE_IMAGE_FILE=${BASE_IMAGE_FILE:-$_name-$DIB_FLAVOR.$DIB_RPM_ARCH-Cloud.qcow2}
unset _place _name
