#!/usr/bin/env bash
# A machine of namespaces for tests/it/runbook.rs: own /etc, /srv, /var/lib and loopback, an ACME server,
# and a service manager that starts what a unit says. Run by
# `unshare --mount --net --pid --fork --kill-child --mount-proc`.
#   machine.sh BINARY PEBBLE_FOLDER WORK STEPS
# WORK has own.pem (certificate and key of the ACME server) and ca.pem; STEPS has files NN.root or
# NN.user with commands, and beside them NN.exit, NN.says and NN.take. Outputs go to STEPS/NN.out.
set -euo pipefail
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
binary=$1 pebble=$2 work=$3 steps=$4

mount --make-rprivate /
mkdir -p "$work/layers"
mount -t tmpfs tmpfs "$work/layers"
mkdir "$work/layers/upper" "$work/layers/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$work/layers/upper,workdir=$work/layers/work" /etc
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs -o mode=0755 tmpfs /srv
mount -t tmpfs -o mode=0755 tmpfs /usr/local/bin
ip link set lo up

cp "$binary" /usr/local/bin/agentkeys
cat >/usr/local/bin/systemctl <<'PY'
#!/usr/bin/env python3
"""Starts and stops what the unit says, as its user, with its capabilities, until it says READY."""
import os, select, signal, socket, subprocess, sys
UNIT, PID, NOTIFY = "/etc/systemd/system/agentkeys.service", "/srv/.pid", "/srv/.notify"

def start():
    unit = [line.split("=", 1) for line in open(UNIT).read().splitlines() if "=" in line and line[0] != "#"]
    said = dict(unit)
    user = said["User"]
    become = ["setpriv", f"--reuid={user}", f"--regid={said['Group']}", "--init-groups"]
    if said["AmbientCapabilities"]:
        cap = "+" + said["AmbientCapabilities"].removeprefix("CAP_").lower()
        become += [f"--inh-caps={cap}", f"--ambient-caps={cap}"]
    if os.path.exists(NOTIFY):
        os.remove(NOTIFY)
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ready.bind(NOTIFY)
    os.chmod(NOTIFY, 0o777)
    ready.settimeout(60)
    log = open("/srv/service.log", "ab")
    service = subprocess.Popen(become + said["ExecStart"].split(), env={**os.environ, "NOTIFY_SOCKET": NOTIFY},
                               stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    open(PID, "w").write(str(service.pid))
    while b"READY=1" not in ready.recv(4096):
        pass

def stop():
    pid = int(open(PID).read())
    # Its parent has ended: whoever reaps it is not this process. Taken before it may be gone.
    wait = os.pidfd_open(pid)
    signal.pidfd_send_signal(wait, signal.SIGTERM)
    if not select.select([wait], [], [], 60)[0]:
        sys.exit("the service does not end")

verb, units = sys.argv[1], [a for a in sys.argv[2:] if not a.startswith("-")]
assert verb == "daemon-reload" or units == ["agentkeys"], sys.argv
if verb in ("stop", "restart"):
    stop()
if verb in ("start", "restart", "enable"):
    start()
PY
chmod 755 /usr/local/bin/*

echo "127.0.0.1 mcp.example.com relay.example.com localhost" >/etc/hosts
cat >"$work/pebble.json" <<J
{"pebble": {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
 "certificate": "$work/own.pem", "privateKey": "$work/own.pem", "httpPort": 80, "tlsPort": 443,
 "externalAccountBindingRequired": false, "certificateValidityPeriod": 7776000}}
J
"$pebble/pebble-challtestsrv" -management 127.0.0.1:8055 -dns01 127.0.0.1:8053 -http01= -https01= -tlsalpn01= \
  -defaultIPv6= >"$work/dns.log" 2>&1 &
PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 "$pebble/pebble" -config "$work/pebble.json" -dnsserver 127.0.0.1:8053 \
  >"$work/pebble.log" 2>&1 &
# The root under which it issues is made when it starts.
python3 - "$work/ca.pem" >"$work/root.pem" <<'PY'
import socket, ssl, sys, time, urllib.request
context = ssl.create_default_context(cafile=sys.argv[1])
for _ in range(600):
    try:
        print(urllib.request.urlopen("https://localhost:15000/roots/0", context=context).read().decode())
        break
    except OSError as error:
        last = error
        time.sleep(0.05)
else:
    sys.exit(f"pebble does not start: {last}")
PY
cat "$work/ca.pem" "$work/root.pem" >/etc/authorities.pem
chmod 644 /etc/authorities.pem
export SSL_CERT_FILE=/etc/authorities.pem AGENTKEYS_TLS_CA_FILE=/etc/authorities.pem
export AGENTKEYS_TLS_DIRECTORY=https://localhost:14000/dir AGENTKEYS_TLS_STAGING_DIRECTORY=https://localhost:14000/dir
export AGENTKEYS_DIR=/var/lib/agentkeys NO_COLOR=1 PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

declare -A taken
for step in "$steps"/*.user "$steps"/*.root; do echo "$step"; done | sort >"$work/order"
while read -r step; do
  base=${step%.*}
  text=$(cat "$step")
  for name in "${!taken[@]}"; do text=${text//$name/${taken[$name]}}; done
  code=0
  if [ "${step##*.}" = root ]; then
    (cd /srv && bash -euo pipefail -c "$text") >"$base.out" 2>&1 </dev/null || code=$?
  else
    # What the user has of its own, and where it may write.
    install -d -o agentkeys -g agentkeys /srv/work
    (cd /srv/work && setpriv --reuid=agentkeys --regid=agentkeys --init-groups bash -euo pipefail -c "$text") \
      >"$base.out" 2>&1 </dev/null || code=$?
  fi
  if [ "$code" != "$(cat "$base.exit")" ]; then
    echo "$text"
    cat "$base.out"
    echo "exit $code instead of $(cat "$base.exit")"
    tail -20 /srv/service.log 2>/dev/null || true
    exit 1
  fi
  while read -r says; do
    if ! grep --quiet --fixed-strings -- "$says" "$base.out"; then
      echo "$text"
      cat "$base.out"
      echo "it does not say: $says"
      exit 1
    fi
  done <"$base.says"
  while read -r name pattern; do
    taken[$name]=$(grep --only-matching --extended-regexp -- "$pattern" "$base.out" | tail -1) || {
      echo "$text"
      cat "$base.out"
      echo "nothing in it is $pattern"
      exit 1
    }
  done <"$base.take"
done <"$work/order"
echo "ran $(wc -l <"$work/order") blocks"
