import os
os.environ['OS_NEUTRON_CONFIG_FILES'] = '@LAB_DIR@/etc/neutron/neutron.conf'
from neutron.wsgi.api import application  # noqa: E402, F401
