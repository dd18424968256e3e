export DISTRO_NAME=penguin
