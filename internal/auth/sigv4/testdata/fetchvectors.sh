#!/bin/sh
# Fetches AWS's published Signature Version 4 test suite into DIR. It comes from
# the source distribution of botocore, through pip, and is never committed.
set -eu
dir=${1:?usage: fetchvectors.sh DIR}
version=1.44.5
want=$dir/aws4_testsuite-$version
[ -d "$want" ] && exit 0
mkdir -p "$dir"
work=$(mktemp -d "$dir/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary botocore -d "$work" "botocore==$version"
tar -xzf "$work/botocore-$version.tar.gz" -C "$work" "botocore-$version/tests/unit/auth/aws4_testsuite"
# Another process may have been faster; its copy is as good.
mv "$work/botocore-$version/tests/unit/auth/aws4_testsuite" "$want" 2>/dev/null || [ -d "$want" ]
