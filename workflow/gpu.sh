#!/usr/bin/env bash
# Everything of the profile gpu on one card, without a network: install, run, check, pack. Call it again after an
# interruption: what is finished stays.
#
#   workflow/gpu.sh OUT [WHEELS]
#
# OUT     gets robustxai-gpu.tar.gz: results/gpu, the executed notebooks, the logs and the list of versions
# WHEELS  a folder of wheels to install from where something is missing; no index is asked
# PYTHON  the interpreter to use, such as one that has PyTorch for the card already; it is not changed
# CHAPTERS, CORES, PROFILE  some chapters only (a list with spaces), jobs side by side, another profile
set -euo pipefail
out=${1:?usage: workflow/gpu.sh OUT [WHEELS]}
wheels=${2:-}
mkdir -p "$out"
out=$(cd "$out" && pwd)
[ -z "$wheels" ] || wheels=$(cd "$wheels" && pwd)
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
profile=${PROFILE:-gpu}

# An environment over the given interpreter: it sees what is installed there, and adds what is missing.
env=build/gpu-venv
if [ ! -e "$env/.installed" ]; then
  "$python" -m venv --without-pip --clear "$env"
  "$python" -c 'import site, sysconfig; print("\n".join(dict.fromkeys([sysconfig.get_path("purelib"), *site.getsitepackages()])))' \
    >"$("$env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/below.pth"
  pwd | sed 's,$,/src,' >"$("$env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/book.pth"
  missing=$("$env/bin/python" workflow/missing.py book)
  if [ -n "$missing" ]; then
    [ -n "$wheels" ] || { echo "gpu: missing and no folder of wheels was given: $missing" >&2; exit 1; }
    # shellcheck disable=SC2086 # one word for each requirement
    "$env/bin/python" -m pip --disable-pip-version-check install --no-index --find-links "$wheels" $missing
  fi
  touch "$env/.installed"
fi
py=$PWD/$env/bin/python

"$py" -c 'import torch; print("device:", torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu", "torch", torch.__version__)'
chapters=${CHAPTERS:-$(cd notebooks && ls ./*.ipynb | sed 's,^\./,,; s,\.ipynb$,,')}
status=0
for chapter in $chapters; do
  "$py" -m robustxai.cli run "$chapter" --profile "$profile" --cores "${CORES:-4}" || status=$?
done

# What is there is packed, also after a failure; `results` prints every claim with its verdict.
pack=build/gpu-pack
rm -rf "$pack"
mkdir -p "$pack/results/$profile" "$pack/notebooks" "$pack/logs"
cp "build/$profile/results/"*.json "$pack/results/$profile/" 2>/dev/null || true
cp "build/$profile/notebooks/"*.ipynb "$pack/notebooks/" 2>/dev/null || true
cp "build/$profile/logs/"*.log "$pack/logs/" 2>/dev/null || true
"$py" workflow/lock.py "$pack/versions.txt"
if ls "$pack/results/$profile/"*.json >/dev/null 2>&1; then
  "$py" -m robustxai.cli results --profile "$profile" | tee "$pack/claims.txt" || status=$?
fi
tar -C "$pack" -czf "$out/robustxai-gpu.tar.gz.part" .
mv "$out/robustxai-gpu.tar.gz.part" "$out/robustxai-gpu.tar.gz"
echo "packed: $out/robustxai-gpu.tar.gz"
exit "$status"
