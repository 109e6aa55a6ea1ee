"""What the geoportal adds to a user's Jupyter server, besides the map.

extension.py  the routes
work.py       what runs in it that must not be taken away
room.py       how full the home directory is, and with what
labextension/ a banner in JupyterLab when it is nearly full

Jupyter finds it by etc/user_server.json, JupyterLab by labextension/, which both come with the
package.
"""
