#!/bin/sh
# Grow the partition that the root filesystem is on, before it is mounted.

# shellcheck disable=SC2154 # dracut's variable
_device=$(readlink -f "${root#block:}")
_name=${_device##*/}
_number=$(cat "/sys/class/block/$_name/partition" 2> /dev/null) || return 0
_disk=$(readlink -f "/sys/class/block/$_name/..")
growpart "/dev/${_disk##*/}" "$_number"
udevadm settle --timeout=30
