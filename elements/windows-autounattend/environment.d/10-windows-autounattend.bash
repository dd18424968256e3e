export DISTRO_NAME=windows
# of the media, and of the answers of other elements
export DIB_LOCALE_UI=${DIB_LOCALE_UI:-${DIB_LOCALE:-en-US}}
export DIB_WINDOWS_SYSPREP=${DIB_WINDOWS_SYSPREP:-1}
