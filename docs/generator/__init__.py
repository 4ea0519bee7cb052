"""What of the site is made when it is built: the pages of groups, commands and the API, and the pictures."""
