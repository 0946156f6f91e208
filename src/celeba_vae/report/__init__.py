"""Stage `report`: what all stages left, as one HTML page.

`build` puts it together, `texts` holds what it says of each plot and value. Reads files, and knows
no stage by its code.
"""
