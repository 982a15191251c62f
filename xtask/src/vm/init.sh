#!/bin/busybox sh
# The first process of a guest: makes the machine ready, runs what /etc/guest asks for, says how
# that ended, and turns the machine off. ttyS0 has the kernel's messages, ttyS1 what is run, ttyS2
# one line for each step.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root LANG=C.UTF-8
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
mount -t tmpfs -o mode=1777 none /tmp
mount -t tmpfs -o mode=755 none /run
mkdir -p /dev/pts /dev/shm
mount -t devpts none /dev/pts
mount -t tmpfs none /dev/shm
mount -t tracefs none /sys/kernel/tracing 2>/dev/null
mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null
mount -t bpf none /sys/fs/bpf 2>/dev/null
ln -s /proc/self/fd /dev/fd
hostname guest
ip link set lo up
for module in /lib/modules/*.ko; do
    [ -e "$module" ] && insmod "$module"
done
. /etc/guest
stty -F /dev/ttyS2 raw
echo ready >/dev/ttyS2
if [ -n "$COMMAND" ] && [ -n "$TERMINAL" ]; then
    stty -F /dev/ttyS1 rows "$ROWS" cols "$COLUMNS"
    setsid sh -c 'exec sh -c "$1" <>/dev/ttyS1 >&0 2>&1' sh "$COMMAND"
    code=$?
elif [ -n "$COMMAND" ]; then
    stty -F /dev/ttyS1 raw
    # Through a pipe: its programs write to no terminal.
    { sh -c "$COMMAND" </dev/null 2>&1; echo $? >/run/code; } | cat >/dev/ttyS1
    code=$(cat /run/code)
else
    stty -F /dev/ttyS1 raw
    code=0
    echo "doctor $(kprof doctor --json | tr -d '\n')" >/dev/ttyS2
    for suite in $SUITES; do
        echo "suite $suite" >/dev/ttyS2
        {
            echo "==== $suite"
            "/tests/$suite" --color=never --test-threads=1 </dev/null 2>&1
            echo $? >/run/code
        } | cat >/dev/ttyS1
        ended=$(cat /run/code)
        echo "ended $suite $ended" >/dev/ttyS2
        [ "$ended" = 0 ] || code=1
    done
fi
stty -F /dev/ttyS1 2>/dev/null >&2
echo "exit $code" >/dev/ttyS2
poweroff -f
