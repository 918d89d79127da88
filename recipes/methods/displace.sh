#!/usr/bin/env bash
# The misaligned labels of the methods' study: clean labels of Accra and Rio, moved as an off-nadir
# view and careless registration would, from fixed seeds.
#
#   BUILDEXT_DATA=/path/to/data recipes/methods/displace.sh
#
# Each 96 m block steps 0.5 to 3 m in a direction of its own, and each building leans by its height
# (lognormal, median 8 m) times tan 30 degrees. The cards datasets/*_displaced read what is written
# here. A read-only folder of data can be mirrored by links; only displaced/ and checked/ are written.
set -euo pipefail
out="${BUILDEXT_DATA:?set BUILDEXT_DATA to the folder that the dataset cards start from}/displaced"
mkdir -p "$out"
displace() {
    buildext misalign "$1" -o "$out/$2.gpkg" --seed "$3" --off-nadir 30 --azimuth 110 \
        --heights 8 0.6 --block-size 96 --block-range 0.5 3.0 --overwrite
}
displace "$BUILDEXT_DATA/clean/accra_west/mask.tif" accra_west 41
seed=100
# Images 58 to 62 show no building.
for mask in "$BUILDEXT_DATA"/clean/rio_satellite/*_img{50,51,52,53,54,55,56,57,63,64}_mask.tif; do
    displace "$mask" "$(basename "$mask" _mask.tif)" "$seed"
    seed=$((seed + 1))
done
# The checked roofs of Nairobi, beside the image that their card names.
mkdir -p "$BUILDEXT_DATA/checked"
cp "$(dirname "$0")/../../datasets/nairobi/checked_roofs.gpkg" "$BUILDEXT_DATA/checked/nairobi.gpkg"
