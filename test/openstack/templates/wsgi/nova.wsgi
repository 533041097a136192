import os
os.environ['OS_NOVA_CONFIG_FILES'] = ';'.join((      # the paste file is the first
    '@LAB_NOVA_SHARE@/api-paste.ini', '@LAB_DIR@/etc/nova/nova.conf', '@LAB_DIR@/etc/nova/db.conf'))
from nova.wsgi.osapi_compute import application  # noqa: E402, F401
