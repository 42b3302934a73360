"""From SQLite to PostgreSQL: every row of every table, compared, and SQLite's file set aside.

Label Studio's own migrations make the tables in a scratch database of PostgreSQL (`schema`); `tables` sees that both
kinds have the same ones, `values` turns SQLite's values into PostgreSQL's, `rows` copies and compares them, and `move`
puts the steps in order. The rename of SQLite's file is the moment of the move: before it SQLite is live, after it
PostgreSQL is.
"""
