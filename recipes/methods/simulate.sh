#!/usr/bin/env bash
# The rendered city of the methods' study, 25 degrees off nadir, under its roofs and its footprints.
#
#   BUILDEXT_DATA=/path/to/data recipes/methods/simulate.sh
#
# The cards datasets/melbourne_simulated* read what is written here, below BUILDEXT_DATA.
set -euo pipefail
data="${BUILDEXT_DATA:?set BUILDEXT_DATA to the folder that the dataset cards start from}"
buildext simulate "$data/heights/melbourne_cbd_tiers.gpkg" -o "$data/simulated_melbourne" \
    --off-nadir 25 --azimuth 40 --gsd 0.5 --seed 3 --block-size 128 --block-range 0.3 1.5 --overwrite
