"""Charts and tables of the live page and the report: their catalogue, their data, and the page that draws them."""
