"""What people made, kept outside of the host's live data, and brought back.

A backup is a folder, `samstudio-HOST-TIME`, that has this name only once it is whole and was read back:

    manifest.json      what, when, of which versions, how much, and the SHA-256 of every other file
    database.sqlite3   or database.dump (pg_dump's custom format)
    data/…             Label Studio's folder without its database: uploads, exports
    secrets/NAME       mode 0600
    config/…           deployment.yml and choices.json, to be read by people; a restore leaves the host's own

Rooms: `manifest` describes and checks one, `make` writes it, `keep` removes older ones, `restic` sends it off the host
and brings it back; `contents` counts what a database holds, `sqlite` and `postgresql` are the two kinds of `database`;
`restore` brings one back, by the steps of `journal` and the renames of `swap`; `service` stops and starts Label Studio;
`history` notes how the last ones ended; `room` asks whether a disk has any; `upgrade` exchanges Label Studio by the
same journal, with what `older` reads off its container and `since` counts in its database.
"""
