#!/bin/sh
# Creates the virtual environment $1 with the best Python on the machine: $PYTHON if it is set, else the first of
# a few names that is recent enough and can make virtual environments. -I keeps PYTHONPATH and the like out of it.
set -eu
venv=$1
wanted=${PYTHON:-python3.13 python3.12 python3.11 python3 python}
recent=''
older=''
for python in $wanted; do
    version=$("$python" -I -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue
    if ! "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        older="${older:+$older, }$python is $version"
        continue
    fi
    recent=$python
    if "$python" -I -c 'import ensurepip, venv' 2>/dev/null; then
        exec "$python" -I -m venv --clear "$venv"
    fi
done
if [ -n "$recent" ]; then
    echo "loadstone: $recent cannot make virtual environments: install its venv module" \
        "(Debian and Ubuntu: apt-get install python3-venv) and run make again." >&2
else
    echo "loadstone needs Python 3.11 or newer, which is not here as $wanted${older:+ ($older)}:" \
        "install one, or name it: make PYTHON=/path/to/python3" >&2
fi
exit 1
