export DIB_CLOUD_IMAGES=${DIB_CLOUD_IMAGES:-https://cloud-images.ubuntu.com/$DIB_RELEASE/current}
export BASE_IMAGE_FILE=${BASE_IMAGE_FILE:-$DIB_RELEASE-server-cloudimg-$ARCH.img}

# of the package ubuntu-keyring
if [ -z "${DIB_UBUNTU_KEYRING:-}" ] && [ -r /usr/share/keyrings/ubuntu-cloudimage-keyring.gpg ]; then
    export DIB_UBUNTU_KEYRING=/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg
fi
export DIB_UBUNTU_KEYRING=${DIB_UBUNTU_KEYRING:-}
