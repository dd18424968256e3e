# where the cloud image is, for base-image.yaml
case "$DIB_RELEASE" in
    bullseye) _debian_version=11 ;;
    bookworm | oldstable) _debian_version=12 _debian_codename=bookworm ;;
    trixie | stable) _debian_version=13 _debian_codename=trixie ;;
    *) _debian_version= ;;
esac
_debian_codename=${_debian_codename:-$DIB_RELEASE}
case "${DIB_DEBIAN_CLOUD_IMAGE:-0}" in
    0) ;;
    1)
        if [ -z "$_debian_version" ] && [ -z "${DIB_CLOUD_IMAGES:-}" ]; then
            echo "which cloud image Debian $DIB_RELEASE has is not known here: DIB_CLOUD_IMAGES and BASE_IMAGE_FILE say it" >&2
            exit 1
        fi
        export DIB_CLOUD_IMAGES=${DIB_CLOUD_IMAGES:-https://cloud.debian.org/images/cloud/$_debian_codename/latest}
        ;;
    *)
        echo "DIB_DEBIAN_CLOUD_IMAGE is '$DIB_DEBIAN_CLOUD_IMAGE'; it may be 1 or 0" >&2
        exit 1
        ;;
esac
export DIB_FLAVOR=${DIB_FLAVOR:-generic}
export BASE_IMAGE_FILE=${BASE_IMAGE_FILE:-debian-${_debian_version:-$DIB_RELEASE}-$DIB_FLAVOR-$ARCH.qcow2}
unset _debian_version _debian_codename
