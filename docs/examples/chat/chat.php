<?php
// A small chat behind Vestibule, the application's side of it: php -S 127.0.0.1:3000 chat.php
const SESSIONS = ['token-of-ada' => 'ada', 'token-of-grace' => 'grace']; // yours are in a database
const ROOMS = ['chat:lobby' => ['ada', 'grace'], 'chat:staff' => ['ada']];
define('FILE', getenv('CHAT_FILE') ?: 'messages.jsonl');

function is_genuine(string $body): bool
{
    $secret = getenv('HOOKS_SECRET') ?: 'whsec_YW4gZXhhbXBsZSBzZWNyZXQ6IG1ha2UgeW91ciBvd24=';
    $key = base64_decode(str_replace('whsec_', '', $secret));
    $at = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    if (!ctype_digit($at) || abs(time() - (int) $at) > 300) {
        return false;
    }
    $signed = ($_SERVER['HTTP_WEBHOOK_ID'] ?? '') . ".$at.$body";
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', $signed, $key, true));
    $sent = explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '');
    return (bool) array_filter($sent, fn ($each) => hash_equals($expected, $each));
}

function saved(): array
{
    $lines = is_file(FILE) ? file(FILE, FILE_IGNORE_NEW_LINES) : [];
    return array_map(fn ($line) => json_decode($line, true), $lines);
}

/** Once, however often it comes: a call that is made again has the same name. */
function save(string $name, array $message): array
{
    $messages = saved();
    foreach ($messages as $earlier) {
        if ($earlier['name'] === $name) {
            return $earlier;
        }
    }
    $message = ['name' => $name, 'number' => count($messages) + 1] + $message;
    file_put_contents(FILE, json_encode($message) . "\n", FILE_APPEND);
    return $message;
}

/** Who is there stands in a file: PHP forgets everything between two requests. */
function present(string $request, bool $is_here): array
{
    $file = FILE . '.online';
    $online = is_file($file) ? file($file, FILE_IGNORE_NEW_LINES) : [];
    $online = array_merge(array_diff($online, [$request]), $is_here ? [$request] : []);
    file_put_contents($file, implode("\n", $online));
    return [['room' => 'chat:lobby', 'event' => 'online', 'payload' => count($online)]];
}

function answer(string $name, string $type, array $data): array
{
    $user = $type === 'connect' ? SESSIONS[$data['token'] ?? ''] ?? null : $data['user'] ?? null;
    ['room' => $room, 'text' => $text] = (array) ($data['payload'] ?? []) + ['room' => $data['room'] ?? '', 'text' => null];
    $may_enter = is_string($room) && in_array($user, ROOMS[$room] ?? [], true);
    if ($type === 'connect' && $user) {
        return ['allow' => true, 'userId' => $user, 'join' => ['chat:lobby'], 'publish' => present($data['request'], true)];
    } elseif ($type === 'join' && $may_enter) {
        return ['allow' => true];
    } elseif ($type === 'message' && $data['event'] === 'say' && $may_enter && is_string($text)) {
        $message = save($name, ['room' => $room, 'from' => $user, 'text' => $text]);
        $except = ['connections' => [$data['connection']]];
        return ['reply' => $message['number'], 'publish' => [['room' => $room, 'event' => 'say', 'payload' => $message, 'except' => $except]]];
    } elseif ($type === 'disconnect') {
        return ['publish' => present($data['request'], false)];
    }
    return ['allow' => false, 'reason' => 'not for you'];
}

$body = file_get_contents('php://input');
if ($_SERVER['REQUEST_METHOD'] === 'GET') {
    echo json_encode(array_values(array_filter(saved(), fn ($message) => $message['room'] === 'chat:lobby')));
} elseif ($_SERVER['REQUEST_URI'] !== '/hooks' || !is_genuine($body)) {
    http_response_code(401);
} else {
    ['type' => $type, 'data' => $data] = json_decode($body, true);
    echo json_encode(answer($_SERVER['HTTP_WEBHOOK_ID'], $type, $data));
}
