import sys
# It takes no environment variable, but what it finds as a command's arguments.
sys.argv = ['cinder-api', '--config-file', '@LAB_DIR@/etc/cinder/cinder.conf',
            '--config-file', '@LAB_DIR@/etc/cinder/api.conf']
from cinder.wsgi.api import application  # noqa: E402, F401
