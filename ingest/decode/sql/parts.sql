-- The text of each entry of lines that hold several: a file of a thousand records on one line must not become a thousand
-- copies of the file. Asked for only where there are such lines: the statement takes longer to plan than to run.
-- in:  entries
-- out: position, item, line
SELECT position, item, line
FROM entries
QUALIFY count(*) OVER (PARTITION BY position) > 1
