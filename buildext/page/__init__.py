"""Pages: what the reports of trainings, studies and evaluations share.

`document` writes one HTML file that needs nothing from elsewhere, `figure` puts matplotlib's
drawings into it. They know nothing of what they show.
"""
