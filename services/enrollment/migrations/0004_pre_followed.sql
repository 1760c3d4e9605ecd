-- Before versions could be pinned everybody inside followed the newest: so it was, and the next record may be long in coming.
update sequence set follow_version = version where follow_version is null and version is not null;
