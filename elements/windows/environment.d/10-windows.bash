export DISTRO_NAME=windows
