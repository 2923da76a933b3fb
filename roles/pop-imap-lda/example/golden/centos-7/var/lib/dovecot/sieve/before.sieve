# Written by mailimg. Runs before each user's own script, and ends it for spam.
require ["fileinto"];

if header :is "X-Spam-Flag" "YES" {
    fileinto "Junk";
    stop;
}
