<?php
// A small chat behind Vestibule. Needs PHP alone, and the key in hooks.key; keeps all it knows in chat.json.
const SESSIONS = ['session-of-ada' => 'ada', 'session-of-ben' => 'ben'];            // your sessions
const ROOMS = ['chat:lobby' => ['ada', 'ben'], 'chat:staff' => ['ada']];            // and who may be where

function refuse($reason) { return ['allow' => false, 'reason' => $reason]; }
function is_invited($user, $room) { return is_string($room) && in_array($user, ROOMS[$room] ?? [], true); }
function users($room)
{
    global $store;
    $there = array_column(array_filter($store['present'], fn($it) => $it['room'] === $room), 'user', 'user');
    ksort($there);
    return array_values($there);
}
// What a room is told when somebody comes or goes; told twice, it does no harm.
function here($room) { return ['room' => $room, 'event' => 'here', 'payload' => users($room)]; }
function keep($filter) { global $store; $store['present'] = array_values(array_filter($store['present'], $filter)); }

function on_connect($data)
{
    $user = SESSIONS[$data['token'] ?? ''] ?? null;
    return $user ? ['allow' => true, 'userId' => $user] : refuse('no such session');
}
function on_join($data, $call, $number)
{
    global $store;
    ['request' => $request, 'user' => $user, 'room' => $room] = $data;
    if (!is_invited($user, $room)) return refuse('you are not invited');
    if (!isset($store['gone'][$request])) $store['present'][] = compact('request', 'user', 'room', 'number');
    return ['allow' => true, 'publish' => [here($room)]];
}
function on_message($data, $call)
{
    global $store;
    ['user' => $user, 'event' => $event, 'payload' => $payload] = $data;
    [$room, $text] = is_array($payload) ? [$payload['room'] ?? '', $payload['text'] ?? ''] : ['', ''];
    if (!is_invited($user, $room)) return refuse('you are not invited');
    if ($event === 'who') return ['reply' => users($room)];
    $is_text = is_string($text) && $text !== '' && strlen($text) <= 4000;
    if ($event !== 'say' || !$is_text) return refuse('say something, in 4000 bytes at most');
    $id = $store['messages'][$call]['id'] ?? count($store['messages']) + 1;
    $store['messages'][$call] = compact('id', 'room', 'user', 'text');
    $except = ['connections' => [$data['connection']]];
    $said = ['room' => $room, 'event' => 'said', 'payload' => compact('id', 'user', 'text'), 'except' => $except];
    return ['publish' => [$said], 'reply' => ['id' => $id]];
}
function on_leave($data, $call, $number)
{
    // It may come late, or again: a join with a higher number is newer, and stays.
    keep(fn($it) => $it['request'] !== $data['request'] || $it['room'] !== $data['room'] || $it['number'] > $number);
    return ['publish' => [here($data['room'])]];
}
function on_disconnect($data)
{
    global $store;
    $store['gone'][$data['request']] = true;
    keep(fn($it) => $it['request'] !== $data['request']);
    return ['publish' => array_map('here', $data['rooms'])];
}

$body = file_get_contents('php://input');
[$call, $at, $theirs] = array_map(fn($it) => $_SERVER["HTTP_WEBHOOK_$it"] ?? '', ['ID', 'TIMESTAMP', 'SIGNATURE']);
$key = base64_decode(substr(trim(file_get_contents('hooks.key')), strlen('whsec_')));
$ours = 'v1,' . base64_encode(hash_hmac('sha256', "$call.$at.$body", $key, true));
if (!hash_equals($ours, $theirs) || abs(time() - (int) $at) > 300) {
    http_response_code(400);
    exit;
}

$file = fopen('chat.json', 'c+');
flock($file, LOCK_EX);              // one call at a time: the store is read, changed and written
$store = json_decode(stream_get_contents($file), true) ?? ['messages' => [], 'present' => [], 'gone' => []];
$event = json_decode($body, true);  // null where a payload has half a surrogate pair, which PHP does not read
$number = (int) (explode('_', $call)[2] ?? 0);      // of the event, among those of its connection
$verdict = $event ? "on_$event[type]"($event['data'], $call, $number) : refuse('say it in whole characters');
rewind($file) && ftruncate($file, 0) && fwrite($file, json_encode($store));
echo json_encode($verdict);
