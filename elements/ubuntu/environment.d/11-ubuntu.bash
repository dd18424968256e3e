export DIB_CLOUD_IMAGES=${DIB_CLOUD_IMAGES:-https://cloud-images.ubuntu.com/$DIB_RELEASE/current}
export BASE_IMAGE_FILE=${BASE_IMAGE_FILE:-$DIB_RELEASE-server-cloudimg-$ARCH.img}
export DIB_UBUNTU_KEYRING=${DIB_UBUNTU_KEYRING:-keys/cloud-images.asc}
