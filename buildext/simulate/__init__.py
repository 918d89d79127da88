"""Off-nadir truth: scenes rendered from footprints with heights, and labels led astray on purpose.

Two jobs share this room. `misalign` takes clean labels of a real image and gives them the errors
that labels have in the field, so that a method can be studied on real texture with known truth.
`simulate` renders the image itself from buildings with heights, under any view angle.
"""
