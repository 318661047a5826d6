#!/bin/busybox sh
# The first process of an emulated machine. It runs the script /script, writes its exit status, and turns the machine off.
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts
mount -t devpts -o ptmxmode=0666 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /tmp
ip link set lo up
export PATH=/bin LANG=C.UTF-8
sh -e /script </dev/null
echo "the script ended with $?"
poweroff -f
