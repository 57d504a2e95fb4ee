#!/bin/sh
# Installs Scipion and CryoResDL into ./.scipion, and nothing anywhere else.
#
#   tools/install.sh [test] [lint] [docs]
#
# Without words: what a user needs. Each word adds that group of tools to the same environment.
# Runs again at no cost: what is already installed from the same files is left alone. A run that was interrupted is
# repaired by the next. CRYORESDL_GPU=1 installs TensorFlow with NVIDIA's libraries; PYTHON=... chooses the Python.
set -eu

root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)
home=$root/.scipion
venv=$home/.scipion3
cd "$root"

say() { printf '%s\n' "$*" >&2; }
fail() { say "CryoResDL: $*"; exit 1; }

case $root in
*[!A-Za-z0-9_./+@-]*) fail "Scipion cannot be installed below a folder whose name has spaces or special characters
  ($root): move this checkout, for example to ~/cryoresdl." ;;
esac

# A Python that Scipion (numpy 1.26: up to 3.12) and TensorFlow (3.10 or newer) both support, with venv and Tk.
check='import sys; v = sys.version_info[:2]
if not (3, 10) <= v <= (3, 12): sys.exit("version")
import ensurepip, tkinter, venv'
python=
for candidate in ${PYTHON:-python3.11 python3.12 python3.10 python3}; do
    if "$candidate" -c "$check" >/dev/null 2>&1; then python=$(command -v "$candidate"); break; fi
done
[ -n "$python" ] || fail "no Python 3.10, 3.11 or 3.12 with its venv and tkinter modules was found${PYTHON:+ at PYTHON=$PYTHON}.
  On Debian 12 and Ubuntu 22.04 or 24.04: sudo apt-get install python3 python3-venv python3-tk
  Elsewhere install such a Python and name it: make install PYTHON=/path/to/python3.11"

CRYORESDL_GPU=${CRYORESDL_GPU:-0}
export CRYORESDL_GPU

mkdir -p "$home/.cache" "$home/config" "$home/data"
exec 9>"$home/.lock"
flock -n 9 || { say "Another installation is running in $home; waiting for it."; flock 9; }

# Everything that pip, virtualenv and Scipion would put into the home folder stays below .scipion.
export PIP_CACHE_DIR="$home/.cache/pip" VIRTUALENV_OVERRIDE_APP_DATA="$home/.cache/virtualenv"
export PYTHONPYCACHEPREFIX= PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_REQUIRE_VIRTUALENV=
# Scipion's installer runs a pip without versions: this is how they get pinned.
export PIP_CONSTRAINT="$root/constraints.txt"
unset PYTHONPATH PYTHONHOME PYTHONUSERBASE VIRTUAL_ENV PIP_TARGET PIP_PREFIX PIP_USER 2>/dev/null || true

# What the environment itself depends on; a change means a new one. What is in it; a change means pip again.
place="$root $("$python" -c 'import sys; print(sys.base_prefix, sys.version)' | tr '\n' ' ') gpu=$CRYORESDL_GPU"
key=$({ echo "$place"; cat constraints.txt setup.py tools/install.sh; } | sha256sum | cut -c1-40)

same() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }
mark() { printf '%s\n' "$2" >"$1.new" && mv "$1.new" "$1"; }

if ! same "$home/.installed" "$key"; then
    say "Installing Scipion and CryoResDL into $home (about 2 GB; a few minutes) ..."
    start=$(date +%s)
    if [ -e "$home/.unfinished" ] || ! same "$home/.place" "$place" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        rm -rf "$venv" "$home/.boot" "$home/test-plugins" "$home/.installed"*
    fi
    touch "$home/.unfinished"

    "$python" -m venv --clear "$home/.boot"
    "$home/.boot/bin/python3" -m pip install -qq scipion-installer
    # The launcher gets the name of the interpreter that runs the installer: python3 exists everywhere.
    "$home/.boot/bin/python3" -m scipioninstaller -venv -noAsk -python "$python" "$home" >"$home/.cache/scipion-installer.log" 2>&1 ||
        { tail -n 30 "$home/.cache/scipion-installer.log" >&2; fail "Scipion's installer failed; the lines above say why. Run the same command again to retry."; }
    rm -rf "$home/.boot"

    # This Scipion is self-contained: settings and projects of another one in the user's home are not its business.
    "$venv/bin/python" - "$home" <<'PYTHON'
import sys
from pathlib import Path

home = Path(sys.argv[1])
launcher = home / "scipion3"
text = launcher.read_text()
anchor = 'os.environ["SCIPION_HOME"] = scipionHome\n'
own = 'os.environ["SCIPION_USER_DATA"] = join(scipionHome, "data")\n' \
      'os.environ["SCIPION_LOCAL_CONFIG"] = join(scipionHome, "config", "local.conf")\n'
if anchor not in text:
    sys.exit("CryoResDL: Scipion's launcher has changed; please report this.")
launcher.write_text(text.replace(anchor, anchor + own))
(home / "config" / "scipion.conf").write_text(
    "[PYWORKFLOW]\n"
    "# No usage reports.\n"
    "SCIPION_NOTIFY = False\n"
    "MPLCONFIGDIR = %s/.cache/matplotlib\n" % home
)
PYTHON

    "$venv/bin/python" -m pip install -qq -e "$root"
    "$venv/bin/python" -m pip check >&2

    cat >"$home/cryoresdl" <<'WRAPPER'
#!/bin/sh
# The engine of CryoResDL, from any folder, without activating anything.
here=$(CDPATH= cd -- "$(dirname -- "$(readlink -f -- "$0")")" && pwd -P)
unset PYTHONPATH PYTHONHOME
MPLCONFIGDIR=${MPLCONFIGDIR:-$here/.cache/matplotlib}
export MPLCONFIGDIR
exec "$here/.scipion3/bin/cryoresdl" "$@"
WRAPPER
    chmod +x "$home/cryoresdl"

    rm -rf "$home/.cache/pip" "$home/.cache/virtualenv" "$home/.installed-"*
    mark "$home/.place" "$place"
    rm -f "$home/.unfinished"
    mark "$home/.installed" "$key"
    say "Installed in $(($(date +%s) - start)) s."
fi

for group in "$@"; do
    same "$home/.installed-$group" "$key" && continue
    say "Installing the tools for '$group' ..."
    "$venv/bin/python" -m pip install -qq -e "$root[$group]"
    if [ "$group" = test ]; then
        # Other people's plugins, for the tests that chain them: outside the environment, because without its
        # binaries scipion-em-xmipp does not import and would print warnings at every start of Scipion.
        rm -rf "$home/test-plugins"
        for plugin in resmap xmipp; do
            "$venv/bin/python" -m pip install -qq --no-deps --target "$home/test-plugins/$plugin" "scipion-em-$plugin"
        done
    fi
    rm -rf "$home/.cache/pip"
    mark "$home/.installed-$group" "$key"
done
