"""Any one thing that holds a picture → an upright RGB picture → what a network takes."""
