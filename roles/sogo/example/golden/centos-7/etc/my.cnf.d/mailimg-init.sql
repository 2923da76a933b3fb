UPDATE mysql.user SET plugin = 'unix_socket', Password = '', authentication_string = '' WHERE User = 'root' AND Host = 'localhost';
DELETE FROM mysql.user WHERE User = '' OR (User = 'root' AND Host <> 'localhost');
DELETE FROM mysql.db WHERE User = '';
DROP DATABASE IF EXISTS test;
FLUSH PRIVILEGES;
