"""Every metric there is: the one place where names are given. docs/metrics.md is held against it by tests/lint.

Names as Prometheus' documentation asks for them (prometheus.io/docs/practices/naming): one prefix, base units, `_total`
for what only grows.
"""

from typing import NamedTuple, Tuple

GAUGE, COUNTER = "gauge", "counter"


class Metric(NamedTuple):
    """A metric.

    Args:
        roles: who has it: `every`, or names of roles.
        labels: names of its labels; each sample has them all.
    """

    name: str
    kind: str
    help: str
    roles: str
    labels: Tuple[str, ...] = ()


EVERY, MX, OUT, BOXES, WEB, NFS = "every", "smtp-in", "smtp-out", "pop-imap-lda", "sogo", "nfs"
POSTFIX = ", ".join((MX, OUT, BOXES))
SCANNER = ", ".join((MX, OUT))
PLACES = ", ".join((POSTFIX, NFS))

METRICS = (
    Metric("mailimg_up", GAUGE, "1: it answers as a client needs it. The health checks of role.json, and `mariadb`",
           EVERY, ("check",)),
    Metric("mailimg_check_duration_seconds", GAUGE, "How long the answer to a check took", EVERY, ("check",)),
    Metric("mailimg_node_info", GAUGE, "Always 1; what the image is", EVERY, ("role", "distro", "version", "identity")),
    Metric("mailimg_agent_state", GAUGE, "1 for the state of the agent's last run, 0 for others", EVERY, ("state",)),
    Metric("mailimg_agent_updated_timestamp_seconds", GAUGE, "When the agent last wrote its state", EVERY),
    Metric("mailimg_agent_boot_duration_seconds", GAUGE, "From the start of the kernel to `ready`", EVERY),
    Metric("mailimg_agent_step_duration_seconds", GAUGE, "How long a step of the agent's last run took", EVERY,
           ("step",)),
    Metric("mailimg_agent_step_wait_seconds", GAUGE, "How much of that it waited for something transient", EVERY,
           ("step",)),
    Metric("mailimg_certificate_not_after_timestamp_seconds", GAUGE, "First end in the chain of the certificate",
           EVERY),
    Metric("mailimg_certificate_checked_timestamp_seconds", GAUGE, "When its source was last asked", EVERY),
    Metric("mailimg_certificate_warning", GAUGE, "1: it ends soon, or its source has none that is good", EVERY),
    Metric("mailimg_keytab_modified_timestamp_seconds", GAUGE, "When the key of the computer account was last written",
           EVERY),
    Metric("mailimg_service_active", GAUGE, "1: systemd calls the unit active. Services that the site wants", EVERY,
           ("service", "unit")),
    Metric("mailimg_service_active_seconds", GAUGE, "For how long it has been active", EVERY, ("service",)),
    Metric("mailimg_service_processes", GAUGE, "Its processes", EVERY, ("service",)),
    Metric("mailimg_service_resident_memory_bytes", GAUGE,
           "Their resident memory; pages that they share are counted for each", EVERY, ("service",)),
    Metric("mailimg_client_connections", GAUGE, "Connections of other machines to a port of the role", EVERY,
           ("port",)),
    Metric("mailimg_filesystem_size_bytes", GAUGE, "Size of the file system", PLACES, ("place", "path")),
    Metric("mailimg_filesystem_avail_bytes", GAUGE, "What is free of it for others than root", PLACES,
           ("place", "path")),
    Metric("mailimg_filesystem_files", GAUGE, "Inodes; 0 where the file system has no limit", PLACES,
           ("place", "path")),
    Metric("mailimg_filesystem_files_free", GAUGE, "What is free of them", PLACES, ("place", "path")),
    Metric("mailimg_mount_right", GAUGE, "1: what the site names is mounted there, as the agent mounts it",
           ", ".join((BOXES, NFS)), ("path",)),
    Metric("mailimg_postfix_queue_messages", GAUGE, "Messages in a queue", POSTFIX, ("queue",)),
    Metric("mailimg_postfix_queue_oldest_age_seconds", GAUGE, "Since the oldest of them came; 0 in an empty queue",
           POSTFIX, ("queue",)),
    Metric("mailimg_amavis_workers", GAUGE, "Filter processes: `busy`, `connected` (Postfix holds it), `idle`", MX,
           ("state",)),
    Metric("mailimg_quarantine_messages", GAUGE, "Messages in quarantine", MX),
    Metric("mailimg_quarantine_size_bytes", GAUGE, "What they take", MX),
    Metric("mailimg_clamd_threads", GAUGE, "Threads of clamd: `busy` or `idle`", SCANNER, ("state",)),
    Metric("mailimg_clamd_threads_limit", GAUGE, "How many it may have", SCANNER),
    Metric("mailimg_clamd_queue_items", GAUGE, "Scans that wait for a thread", SCANNER),
    Metric("mailimg_clamd_signatures_version", GAUGE, "Version of the signatures that clamd has loaded", SCANNER),
    Metric("mailimg_signatures_version", GAUGE, "Version of the newest official database on the disk", SCANNER),
    Metric("mailimg_signatures_built_timestamp_seconds", GAUGE, "When it was built, as it says itself", SCANNER),
    Metric("mailimg_signatures_age_limit_seconds", GAUGE, "How old the site lets it become", SCANNER),
    Metric("mailimg_dovecot_sessions", GAUGE, "Sessions of users", BOXES, ("service",)),
    Metric("mailimg_dovecot_users", GAUGE, "How many users they belong to", BOXES),
    Metric("mailimg_sogo_workers", GAUGE, "Processes of sogod beside its watchdog", WEB),
    Metric("mailimg_sogo_connections", GAUGE, "Connections of the web server to sogod: requests, and those kept open",
           WEB),
    Metric("mailimg_memcached_connections", GAUGE, "Open connections", WEB),
    Metric("mailimg_memcached_size_bytes", GAUGE, "What its entries take", WEB),
    Metric("mailimg_memcached_limit_bytes", GAUGE, "What they may take", WEB),
    Metric("mailimg_memcached_gets_total", COUNTER, "Look-ups: `hit` or `miss`", WEB, ("result",)),
    Metric("mailimg_memcached_evictions_total", COUNTER, "Entries dropped for want of room", WEB),
    Metric("mailimg_mariadb_connections", GAUGE, "Open connections to the node's own MariaDB", WEB),
    Metric("mailimg_mariadb_questions_total", COUNTER, "Statements that it was sent", WEB),
    Metric("mailimg_mariadb_slow_queries_total", COUNTER, "Those that took longer than long_query_time", WEB),
    Metric("mailimg_nfsd_threads", GAUGE, "Threads of the kernel's NFS server", NFS),
    Metric("mailimg_nfsd_exports", GAUGE, "Exports: a folder for a group of clients each", NFS),
    Metric("mailimg_nfsd_calls_total", COUNTER, "Calls of clients", NFS),
    Metric("mailimg_nfsd_bad_calls_total", COUNTER, "Those that were refused: format, authentication, client", NFS),
    Metric("mailimg_collector_success", GAUGE, "1: the collector found what it looks for", EVERY, ("collector",)),
    Metric("mailimg_collector_duration_seconds", GAUGE, "How long it took", EVERY, ("collector",)),
    Metric("mailimg_collected_timestamp_seconds", GAUGE, "When all this was written", EVERY),
    Metric("mailimg_collection_cpu_seconds", GAUGE, "Processor time that it took", EVERY),
)

BY_NAME = {one.name: one for one in METRICS}
