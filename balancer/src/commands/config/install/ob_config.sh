
# By this file tor accepts the frontend's visitors. Without it tor does not start with HiddenServiceOnionBalanceInstance.
FRONTEND='MasterOnionAddress @FRONTEND@'
if [ ! -e "$DIRECTORY/ob_config" ]; then
    echo "$FRONTEND" > "$DIRECTORY/ob_config"
    chown "$OWNER:" "$DIRECTORY/ob_config"
elif ! grep -qxF "$FRONTEND" "$DIRECTORY/ob_config"; then
    fail "$DIRECTORY/ob_config names another frontend: add the line $FRONTEND"
fi
