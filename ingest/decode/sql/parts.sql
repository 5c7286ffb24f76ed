-- The text of each entry of lines with several entries, so that a file with a thousand records in one line does not
-- become a thousand copies of the file. Runs only if there are such lines: it takes longer to plan than to run.
-- in:  entries
-- out: position, item, line
SELECT position, item, line
FROM entries
QUALIFY count(*) OVER (PARTITION BY position) > 1
