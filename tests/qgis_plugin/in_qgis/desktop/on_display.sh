#!/bin/sh
# A window manager first: without one, windows have no frame and run off the screen.
openbox >/dev/null 2>&1 &
exec "$@"
